#include "app/operator.h"

int main(int argc, char** argv) {
  return quay_rotator::app::run(argc, argv, {});
}
